/* For tests of what reads requests of the judging doors: the languages that are shipped, and texts. */
#ifndef REQUEST_FIXTURE_H
#define REQUEST_FIXTURE_H

#include "body_text.h"
#include "judge/language.h"

extern struct languages *languages;

/* A group's set-up and tear-down. */
int languages_set_up(void **state);
int languages_tear_down(void **state);

/* NULL: there is none. */
void assert_text(struct body_text text, const char *expected);

#endif
