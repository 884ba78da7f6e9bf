/* Paths, in text: nothing is looked up. */
#ifndef CJ_BASE_PATH_H
#define CJ_BASE_PATH_H

#include <stdbool.h>

/* Whether one of its parts is "..". */
bool path_leads_up(const char *path);

#endif
