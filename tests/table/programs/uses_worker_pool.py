import multiprocessing


def double(number):
    return number * 2


if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print(len(set(pool.map(double, range(1000)))) * 2)
