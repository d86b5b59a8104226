// What the files of the firmware share with each other and with nobody else.
#ifndef HYT_FIRMWARE_INTERNAL_H
#define HYT_FIRMWARE_INTERNAL_H

#include "firmware.h"

// Stops with the configured action and latches for the current session; flushes the queue. Of several trips
// the first is the one that is told.
void hyt_trip(struct hyt_firmware* firmware, uint8_t trip);

// Stops with the configured action without a latch, and ends in HYT_STATE_DISARMED. Only in HYT_STATE_ARMED.
void hyt_disarm(struct hyt_firmware* firmware);

// Executes one good frame and answers it.
void hyt_dispatch(struct hyt_firmware* firmware, const struct hyt_frame* frame);

// The answers; one that the transmitter has no room for is counted and lost.
void hyt_send_refuse(struct hyt_firmware* firmware, uint32_t session);
void hyt_send_welcome(struct hyt_firmware* firmware);
void hyt_send_axis(struct hyt_firmware* firmware, uint8_t index);
void hyt_send_telemetry(struct hyt_firmware* firmware, uint32_t session, uint32_t echo);
void hyt_send_result(struct hyt_firmware* firmware, uint32_t session, const struct hyt_answer* answer);

#endif
