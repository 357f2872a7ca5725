"""A small vision-language model of the shop's own: how it is made, trained and checked.

`README.md` says what it knows and how good it is; `python -m example_shop.llvm.train` trains it.
"""
