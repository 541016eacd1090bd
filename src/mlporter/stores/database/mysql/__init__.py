"""MySQL and MariaDB in detail: their driver, their errors, and what they can hold."""
