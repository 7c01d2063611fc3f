"""A module of the user that both sides have, 1.6 and us."""


class OutOfStock(Exception):
    pass
