/* The command line tool: `norma info`, `norma run OP`, `norma fold`, `norma weight_norm`, `norma spectral_norm`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

typedef struct tool_command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
} tool_command;

static const tool_command commands[] = {
    {"info", "print what norma found on this machine and what it settled on", command_info},
    {"run", "normalize the array in one .npy file into another", command_run},
    {"fold", "make one layer of a layer and the batch norm beside it", command_fold},
    {"weight_norm", "make a weight of its direction and lengths", command_weight_norm},
    {"spectral_norm", "divide a weight by its largest singular value", command_spectral_norm},
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    printf("Usage: norma COMMAND [argument]...\n"
           "       norma COMMAND --help\n"
           "\n"
           "Normalization layers on the CPU: layer norm, RMS norm and their kin.\n"
           "\n"
           "Commands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        printf("    %-14s%s\n", commands[i].name, commands[i].summary);
    }
    printf("\nOptions:\n"
           "    -h, --help    print this text\n"
           "    --version     print the version\n"
           "\nExamples:\n"
           "    norma info\n"
           "    norma run layer_norm --input x.npy --output y.npy\n"
           "    norma run layer_norm --help\n"
           "    norma fold --help\n"
           "\nExit status:\n"
           "    0   done\n"
           "    1   the machine failed: out of memory, disk full, a write error\n"
           "    2   the command line or an input file is wrong; one line on standard\n"
           "        error says what\n");
}

static int dispatch(int argc, char **argv)
{
    tool_failure failure;
    if (argc < 2) {
        fail(&failure, EXIT_USER, "give a command, such as info, run or fold (see norma --help)");
        return failure_report(&failure, NULL);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("norma %s\n", norma_version_string());
        return 0;
    }
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    fail(&failure, EXIT_USER, "unknown %s '%s' (see norma --help)", argv[1][0] == '-' ? "option" : "command", argv[1]);
    return failure_report(&failure, NULL);
}

int main(int argc, char **argv)
{
    const int status = dispatch(argc, argv);
    // What was printed may still be in a buffer, and a full disk shows only now.
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        tool_failure failure;
        fail(&failure, EXIT_MACHINE, "standard output cannot be written: %s", errno ? strerror(errno) : "write error");
        const int worse = failure_report(&failure, NULL);
        return status ? status : worse;
    }
    return status;
}
