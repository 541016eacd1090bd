"""The directory of a bundle: names, locks, states, and files that are whole or not there at all."""
