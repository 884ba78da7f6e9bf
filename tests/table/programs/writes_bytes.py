import sys

count = int(sys.argv[1])
alphabet = "abcdefghijklmnopqrstuvwxyz"
sys.stdout.write((alphabet * (count // 26 + 1))[:count])
