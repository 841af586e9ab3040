#include "tune.h"

static int run(const tune_options *options)
{
    switch (options->task) {
    case TUNE_MEASURE:
        return tune_measure(options);
    case TUNE_DRY_RUN:
        return tune_dry_run(options);
    case TUNE_SHOW:
        return tune_show(options);
    case TUNE_CHECK:
        return tune_check(options);
    case TUNE_HELP:
        tune_print_help();
        return TUNE_DONE;
    case TUNE_VERSION:
        printf("norma-tune %s\n", norma_version_string());
        return TUNE_DONE;
    }
    return TUNE_MISTAKE;
}

int main(int argc, char **argv)
{
    tune_options options;
    int status = tune_options_parse(&options, argc, argv);
    if (status == TUNE_DONE) {
        status = run(&options);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return tune_fail(TUNE_FAILED, "standard output cannot be written");
    }
    return status;
}
