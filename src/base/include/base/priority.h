/* Who goes first when several want a CPU. */
#ifndef CJ_BASE_PRIORITY_H
#define CJ_BASE_PRIORITY_H

#include <stdbool.h>
#include <sys/types.h>

/* Lets a thread that watches limits, and works for microseconds at a time, run soon after it wakes: the
 * nice value where we may set it (root), and slices of 0.1 ms, which put it in front of those who have a
 * longer one (Linux 6.12; within an autogroup or control group a nice value counts only against its
 * other members, sched(7)). What it forks begins without either. thread_id: 0 is the caller's. Where
 * nothing of this is allowed nothing happens: it is a matter of milliseconds on a busy machine. */
void priority_raise(pid_t thread_id, int nice);

/* For the last milliseconds before a thread has to act: it runs at once when it wakes, whoever uses up his slice (the
 * scheduler may let him do that for 3 ms). Returns whether that is so, and what to give priority_calm() in *nice. */
bool priority_urge(pid_t thread_id, int *nice);
void priority_calm(pid_t thread_id, int nice);

#endif
