/* Fills kernel objects of the kind argv[1] until the kernel gives no more, and prints the bytes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "sandboxed.h"

static char block[1 << 20];

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    unsigned long stuffed = 0;
    if (strcmp(how, "pipes") == 0) {
        int ends[2];
        while (pipe2(ends, O_NONBLOCK) == 0) {
            for (int size = 1 << 20; size >= 4096 && fcntl(ends[1], F_SETPIPE_SZ, size) < 0;
                 size /= 2)
                ;
            for (ssize_t got; (got = write(ends[1], block, sizeof block)) > 0;)
                stuffed += (unsigned long)got;
        }
    } else if (strcmp(how, "unix_sockets") == 0 || strcmp(how, "unix_datagrams") == 0) {
        int ends[2], type = how[5] == 's' ? SOCK_STREAM : SOCK_DGRAM, size = 16 << 20;
        while (socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends) == 0) {
            for (int i = 0; i < 2; i++) {
                setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
                for (ssize_t got; (got = send(ends[i], block, 65536, MSG_DONTWAIT)) > 0;)
                    stuffed += (unsigned long)got;
            }
        }
    } else if (strcmp(how, "udp") == 0) {
        struct sockaddr_in here = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        for (int fd; (fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) >= 0;) {
            socklen_t length = sizeof here;
            here.sin_port = 0;
            if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0 ||
                getsockname(fd, (struct sockaddr *)&here, &length) != 0)
                break;
            for (int i = 0; i < 100; i++) {
                ssize_t got =
                    sendto(fd, block, 60000, MSG_DONTWAIT, (struct sockaddr *)&here, sizeof here);
                if (got < 0)
                    break;
            } /* datagrams over the buffer are dropped: not counted */
        }
    } else if (strcmp(how, "message_queues") == 0) {
        struct {
            long type;
            char text[8192];
        } message = {.type = 1};
        for (int id; (id = msgget(IPC_PRIVATE, 0600)) >= 0;)
            while (msgsnd(id, &message, sizeof message.text, IPC_NOWAIT) == 0)
                stuffed += sizeof message.text;
    } else if (strcmp(how, "mq") == 0) {
        struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8192};
        for (int i = 0; i < 1000; i++) {
            char name[32];
            snprintf(name, sizeof name, "/stuff-%d", i);
            mqd_t queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attr);
            if (queue == (mqd_t)-1)
                break;
            while (mq_send(queue, block, 8192, 0) == 0)
                stuffed += 8192;
            mq_close(queue);
        }
    } else if (strcmp(how, "xattrs") == 0) {
        for (int i = 0; i < 4000; i++) {
            char path[64], name[64];
            snprintf(path, sizeof path, "/tmp/x-%d", i);
            int fd = open(path, O_CREAT | O_WRONLY, 0600);
            if (fd < 0)
                break;
            for (int j = 0; j < 100; j++) {
                snprintf(name, sizeof name, "user.stuff-%d", j);
                if (fsetxattr(fd, name, block, 60000, 0) != 0)
                    break;
                stuffed += 60000;
            }
            close(fd);
        }
    } else if (strcmp(how, "semaphores") == 0) {
        for (int id; (id = semget(IPC_PRIVATE, 32000, 0600)) >= 0;)
            stuffed += 32000UL * 64;
    } else if (strcmp(how, "epoll_items") == 0) {
        int many[200], count = 0;
        while (count < 100 && (many[count] = epoll_create1(0)) >= 0)
            count++;
        int null = (int)syscall(SYS_eventfd2, 0, 0);
        for (int i = 0; i < count; i++) {
            struct epoll_event event = {.events = EPOLLIN};
            for (int fd = null; fd < null + 1; fd++)
                if (epoll_ctl(many[i], EPOLL_CTL_ADD, fd, &event) == 0)
                    stuffed += 128;
        }
    } else if (strcmp(how, "timers") == 0) {
        timer_t timer;
        struct sigevent event = {.sigev_notify = SIGEV_NONE};
        while (stuffed < (200UL << 20) && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
            stuffed += 256;
    } else if (strcmp(how, "inotify_watches") == 0) {
        for (int i = 0, fd = -1; i < 200000; i++) {
            char path[64];
            if (i % 4000 == 0 && (fd = inotify_init1(IN_NONBLOCK)) < 0)
                break;
            snprintf(path, sizeof path, "/tmp/i-%d", i % 4000);
            if (i < 4000)
                mkdir(path, 0700);
            if (inotify_add_watch(fd, path, IN_ACCESS) < 0)
                break;
            stuffed += 80;
        }
    } else if (strcmp(how, "keys") == 0) {
        for (int i = 0; i < 10000; i++) {
            char name[32];
            snprintf(name, sizeof name, "stuff-%d", i);
            if (syscall(SYS_add_key, "user", name, block, 32000, -3) < 0)
                break;
            stuffed += 32000;
        }
    }
    printf("stuffed %lu\n", stuffed);
    return 0;
}
