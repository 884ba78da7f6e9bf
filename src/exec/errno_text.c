/* errno texts as go-judge's clients know them. */
#include "errno_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *errno_text(int code)
{
    static _Thread_local char text[128];
    char buffer[128];
    snprintf(text, sizeof(text), "%s", strerror_r(code, buffer, sizeof(buffer)));
    if (isupper((unsigned char)text[0]) && islower((unsigned char)text[1]))
        text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}
