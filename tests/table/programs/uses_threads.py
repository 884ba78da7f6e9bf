# Four threads hand a token around under a condition variable.
import threading

changed = threading.Condition()
token = 0


def player(number):
    global token
    for _ in range(100):
        with changed:
            changed.wait_for(lambda: token % 4 == number)
            token += 1
            changed.notify_all()


threads = [threading.Thread(target=player, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(token)
