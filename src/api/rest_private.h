/* What the files of the REST door share. */
#ifndef CJ_API_REST_PRIVATE_H
#define CJ_API_REST_PRIVATE_H

#include "api/rest.h"
#include "aside.h"
#include "exchange.h"
#include "rest_plan.h"

struct rest_run;

struct rest {
    struct rest_options options;
    struct rest_sources sources;
    char *authorization; /* what the header has to be; NULL: nobody is asked */
    struct buf version;  /* bodies of /version and /config */
    struct buf config;
    struct aside *aside;
    struct rest_run *runs; /* at work or being answered */
    uint64_t at_work;
    bool warned_of_dir;
    bool closing; /* rest_cancel() has been called: nothing is submitted any more */
};

/* Each is a route: takes the exchange, answers now or later. */
void rest_run_begin(struct rest *rest, const struct exchange *exchange);
void rest_upload_begin(struct rest *rest, const struct exchange *exchange);
void rest_list(struct rest *rest, struct exchange *exchange);
void rest_download(struct rest *rest, struct exchange *exchange, const char *id);
void rest_delete(struct rest *rest, struct exchange *exchange, const char *id);

/* Cancels what the scheduler has. */
void rest_run_cancel_all(struct rest *rest);

/* The bodies of /version and /config. */
void rest_write_version(const struct rest_options *options, struct buf *out);
void rest_write_config(const struct rest_options *options, struct buf *out);

#endif
