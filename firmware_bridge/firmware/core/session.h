// Session: which host is heard, and its commands executed once and in order.
//
// Go-back-N: only the next command in order is executed; one that comes again is answered again with its
// first answer; one ahead of a lost one is dropped until the host has sent the lost one again.
#ifndef HYT_SESSION_H
#define HYT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol_constants.h"

// Sessions that are remembered as ended, so that a HELLO that the wire held back cannot open one of them
// again.
#define HYT_ENDED_SESSIONS 8

struct hyt_answer {
    uint16_t sequence;
    uint8_t type;
    uint8_t result;
    int32_t detail;
};

// All zeros is no session, as after a boot.
struct hyt_session {
    uint32_t id;
    uint16_t executed;                      // sequence of the last command executed; 0 in a fresh session
    uint8_t remembered;                     // answers that belong to this session
    uint32_t heard_tick;                    // when the last good, fresh frame of the session came
    struct hyt_answer answers[HYT_WINDOW];  // of the last commands, at sequence % HYT_WINDOW
    uint32_t ended[HYT_ENDED_SESSIONS];     // the sessions before this one
    uint8_t next_ended;                     // the oldest of them, which is overwritten next
};

// Starts session `id` (not 0) at `tick`; the one before has ended.
void hyt_session_open(struct hyt_session* session, uint32_t id, uint32_t tick);

// Whether session `id` (not 0) was in force before the one that is. Of the last HYT_ENDED_SESSIONS it is
// known.
bool hyt_session_ended(const struct hyt_session* session, uint32_t id);

enum hyt_order {
    HYT_ORDER_NEXT,    // execute it, then call hyt_session_remember
    HYT_ORDER_REPEAT,  // executed before; *answer is what it was answered
    HYT_ORDER_AHEAD,   // drop it: one before it is missing, or it is older than the window
};

// Where the command `sequence` stands. Changes nothing.
enum hyt_order hyt_session_order(const struct hyt_session* session, uint16_t sequence,
                                 const struct hyt_answer** answer);

// Notes the answer to the next command in order; that command is then the last executed.
void hyt_session_remember(struct hyt_session* session, const struct hyt_answer* answer);

#endif
