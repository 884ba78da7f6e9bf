# CPython's own limit ends it.
def descend(depth):
    return descend(depth + 1) + 1


descend(0)
