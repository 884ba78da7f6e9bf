# Never ends by itself: the sandbox stops it at its CPU limit.
while True:
    pass
