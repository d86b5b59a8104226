// Command line: see options.h.
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: hyt-firmware --axis "
    "NAME,UNIT,LOW,HIGH,MAX_VELOCITY,MAX_ACCELERATION,linear|hold|cubic,INITIAL "
    "...\n"
    "                         [--tick-hz N] [--link-timeout TICKS] [--underrun-timeout TICKS] [--stall-limit "
    "TICKS]\n"
    "                         [--stop-action hold|decelerate|release] [--start-tick N] [--lockstep] [--trace "
    "FILE]\n"
    "                         [--clock-ppm N]\n"
    "The firmware on a pseudo-terminal, whose path is the first line it prints. A limit of 0 is no limit.\n"
    "In real time it runs until SIGTERM; SIGUSR1 presses its emergency stop and SIGUSR2 lets it go; its "
    "clock\n"
    "runs N millionths too fast (-10000 to 10000), as a crystal may.\n"
    "With --lockstep it obeys standard input until that ends: 'advance N' runs N ticks and writes N x axes "
    "int32\n"
    "micro-units (native byte order) to standard output; 'estop 0|1' sets the emergency stop.\n";

static int complain(const char* what, const char* value) {
    fprintf(stderr, "hyt-firmware: %s: %s\n", what, value);
    return 2;
}

static bool parse_u32(const char* text, uint32_t* value) {
    char* end = NULL;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number > UINT32_MAX) return false;
    *value = (uint32_t)number;
    return true;
}

static bool parse_ppm(const char* text, int32_t* value) {
    char* end = NULL;
    const long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < -10000 || number > 10000) return false;
    *value = (int32_t)number;
    return true;
}

static bool parse_micro(const char* text, int32_t* value) {
    char* end = NULL;
    const double number = strtod(text, &end) * HYT_MICRO;
    // Written so that NaN fails it.
    if (end == text || *end != '\0' || !(number >= INT32_MIN && number <= INT32_MAX)) return false;
    *value = (int32_t)llround(number);
    return true;
}

static bool parse_choice(const char* text, const char* const* choices, uint8_t* value) {
    for (uint8_t i = 0; choices[i] != NULL; ++i) {
        if (strcmp(text, choices[i]) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool copy_text(char* to, size_t size, const char* text) {
    const size_t length = strlen(text);
    if (length > size) return false;
    memset(to, 0, size);
    memcpy(to, text, length);
    return true;
}

// Splits `text` (changed) at its commas; returns the number of parts, at most `limit`, or limit + 1 for more.
static int split(char* text, char** parts, int limit) {
    int count = 0;
    for (char* part = text; part != NULL; ++count) {
        if (count == limit) return limit + 1;
        parts[count] = part;
        part = strchr(part, ',');
        if (part != NULL) *part++ = '\0';
    }
    return count;
}

static bool parse_axis(const char* text, struct hyt_axis_config* axis) {
    static const char* const interpolations[] = {"hold", "linear", "cubic", NULL};
    char copy[256];
    char* part[8];
    if (strlen(text) >= sizeof copy) return false;
    strcpy(copy, text);
    return split(copy, part, 8) == 8 && part[0][0] != '\0' &&
           copy_text(axis->name, sizeof axis->name, part[0]) &&
           copy_text(axis->unit, sizeof axis->unit, part[1]) && parse_micro(part[2], &axis->low) &&
           parse_micro(part[3], &axis->high) && parse_micro(part[4], &axis->max_velocity) &&
           parse_micro(part[5], &axis->max_acceleration) &&
           parse_choice(part[6], interpolations, &axis->interpolation) &&
           parse_micro(part[7], &axis->initial);
}

static int add_axis(struct hyt_options* options, const char* text) {
    if (options->config.axis_count == HYT_MAX_AXES) return complain("too many axes", text);
    if (!parse_axis(text, &options->axes[options->config.axis_count])) return complain("bad axis", text);
    ++options->config.axis_count;
    return 0;
}

static int apply(struct hyt_options* options, int option, const char* value) {
    static const char* const stop_actions[] = {"hold", "decelerate", "release", NULL};
    struct hyt_config* config = &options->config;
    bool good = true;
    switch (option) {
        case 'a':
            return add_axis(options, value);
        case 'f':
            good = parse_u32(value, &config->tick_hz);
            break;
        case 'l':
            good = parse_u32(value, &config->link_timeout_ticks);
            break;
        case 'u':
            good = parse_u32(value, &config->underrun_timeout_ticks);
            break;
        case 's':
            good = parse_u32(value, &config->stall_limit_ticks);
            break;
        case 'b':
            good = parse_u32(value, &config->start_tick);
            break;
        case 'o':
            good = parse_choice(value, stop_actions, &config->stop_action);
            break;
        case 'k':
            options->lockstep = true;
            config->welcome_flags = HYT_WELCOME_FLAG_LOCKSTEP;
            break;
        case 'c':
            good = parse_ppm(value, &options->clock_ppm);
            break;
        case 't':
            options->trace = value;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        default:
            fputs("hyt-firmware: bad arguments; try --help\n", stderr);
            return 2;
    }
    return good ? 0 : complain("bad value", value);
}

int hyt_options_parse(struct hyt_options* options, const char* port, int argc, char** argv) {
    static const struct option names[] = {
        {"axis", required_argument, NULL, 'a'},
        {"tick-hz", required_argument, NULL, 'f'},
        {"link-timeout", required_argument, NULL, 'l'},
        {"underrun-timeout", required_argument, NULL, 'u'},
        {"stall-limit", required_argument, NULL, 's'},
        {"start-tick", required_argument, NULL, 'b'},
        {"stop-action", required_argument, NULL, 'o'},
        {"lockstep", no_argument, NULL, 'k'},
        {"clock-ppm", required_argument, NULL, 'c'},
        {"trace", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    memset(options, 0, sizeof *options);
    options->config.tick_hz = 1000;
    options->config.link_timeout_ticks = 100;
    options->config.stall_limit_ticks = 100;
    options->config.axes = options->axes;
    copy_text(options->config.port, sizeof options->config.port, port);
    opterr = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        const int status = apply(options, option, optarg);
        if (status != 0) return status;
    }
    return optind == argc ? 0 : complain("unexpected argument", argv[optind]);
}

int hyt_options_refused(const struct hyt_options* options, enum hyt_config_error error, uint8_t axis_index) {
    const struct hyt_axis_config* axis = &options->axes[axis_index];
    static const char* const reasons[] = {
        [HYT_CONFIG_TICK_HZ] = "tick-hz must be 1 to 100000",
        [HYT_CONFIG_LINK_TIMEOUT] = "link-timeout must be 1 to 16777216 ticks",
        [HYT_CONFIG_STOP_ACTION] = "unknown stop-action",
        [HYT_CONFIG_AXIS_COUNT] = "at least one --axis is needed",
        [HYT_CONFIG_AXIS_RANGE] = "an axis needs LOW <= INITIAL <= HIGH",
        [HYT_CONFIG_AXIS_LIMIT] = "a velocity or acceleration limit must not be negative",
        [HYT_CONFIG_AXIS_INTERPOLATION] = "unknown interpolation",
    };
    const bool of_axis = error >= HYT_CONFIG_AXIS_RANGE;
    char name[sizeof axis->name + 1] = "configuration";
    if (of_axis) memcpy(name, axis->name, sizeof axis->name);
    return complain(name, reasons[error]);
}
