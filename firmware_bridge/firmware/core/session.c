// Session: see session.h.
#include "session.h"

void hyt_session_open(struct hyt_session* session, uint32_t id, uint32_t tick) {
    session->ended[session->next_ended] = session->id;
    session->next_ended = (uint8_t)((session->next_ended + 1) % HYT_ENDED_SESSIONS);
    session->id = id;
    session->executed = 0;
    session->remembered = 0;
    session->heard_tick = tick;
}

bool hyt_session_ended(const struct hyt_session* session, uint32_t id) {
    for (uint8_t i = 0; i < HYT_ENDED_SESSIONS; ++i) {
        if (session->ended[i] == id) return true;
    }
    return false;
}

enum hyt_order hyt_session_order(const struct hyt_session* session, uint16_t sequence,
                                 const struct hyt_answer** answer) {
    const uint16_t behind = (uint16_t)(session->executed - sequence);
    if (behind == UINT16_MAX) return HYT_ORDER_NEXT;
    if (behind < session->remembered) {
        *answer = &session->answers[sequence % HYT_WINDOW];
        return HYT_ORDER_REPEAT;
    }
    return HYT_ORDER_AHEAD;
}

void hyt_session_remember(struct hyt_session* session, const struct hyt_answer* answer) {
    session->answers[answer->sequence % HYT_WINDOW] = *answer;
    session->executed = answer->sequence;
    if (session->remembered < HYT_WINDOW) ++session->remembered;
}
