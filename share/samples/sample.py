# Reads numbers from its input and prints how many there were, their sum and the largest.
import sys

numbers = [int(word) for word in sys.stdin.read().split()]
if not numbers:
    sys.exit("no numbers")
print(f"{len(numbers)} numbers, sum {sum(numbers)}, largest {max(numbers)}")
