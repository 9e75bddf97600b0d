"""The values of the charts as rows of data; `python -m helm` writes what follows from them."""
