import sys

print(len(sys.argv) - 1, sum(len(argument) for argument in sys.argv[1:]))
