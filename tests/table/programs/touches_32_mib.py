block = bytearray(b"x" * (32 << 20))
print(block[31 << 20] - ord("x") + 7)
