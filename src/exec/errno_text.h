/* errno texts as go-judge's clients know them: strerror's words, first letter small. */
#ifndef CJ_EXEC_ERRNO_TEXT_H
#define CJ_EXEC_ERRNO_TEXT_H

/* Static or thread-local text; valid until the thread's next call. */
const char *errno_text(int code);

#endif
