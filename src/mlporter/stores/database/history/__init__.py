"""Databases of older MLflows, read as if they had been upgraded.

`changes` is what each schema revision brought, as data; `relations` makes of it what a table is
read from: the table itself wherever that will do; `traces` computes what MLflow 3.17 computed when
it took trace names, sessions, tokens and costs out of tags and metadata. The judge is `mlflow db
upgrade`: a database that is read so is equal to its upgraded copy, table by table. `traces_before`
is the way back, for targets of an older MLflow; there the judge is MLflow's own downgrade.
"""
