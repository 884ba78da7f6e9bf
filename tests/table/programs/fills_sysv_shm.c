/* 10 System V segments of 20 MiB, touched and left behind. Exit 3: refused. */
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "sandboxed.h"

int main(void)
{
    for (int i = 0; i < 10; i++) {
        int id = shmget(IPC_PRIVATE, 20 << 20, IPC_CREAT | 0600);
        char *room = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
        if (room == (char *)-1)
            return 3;
        memset(room, 1, 20 << 20);
        shmdt(room);
    }
    return 0;
}
