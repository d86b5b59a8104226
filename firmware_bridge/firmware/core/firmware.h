// The firmware: everything between received bytes and setpoints, for any microcontroller.
//
// A port owns one `struct hyt_firmware` (static memory; nothing is allocated), fills a config and a HAL, and
// calls
//   hyt_firmware_init      once,
//   hyt_firmware_receive   with every byte of the serial port, as soon as it can,
//   hyt_firmware_tick      at tick_hz, from a timer,
//   hyt_firmware_lost      when the serial port lost bytes or found them broken.
// The calls must not interrupt each other: call all from the main loop, or mask the timer around receive.
//
// What holds after every call, whatever was received:
//   motion only in HYT_STATE_ARMED, or decelerating in HYT_STATE_STOPPING;
//   setpoints within the limits of axis.h;
//   in HYT_STATE_STOPPED the queue is empty and only an ARM of a session opened after the trip leaves the
//   state.
#ifndef HYT_FIRMWARE_H
#define HYT_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "motion.h"
#include "protocol_constants.h"
#include "session.h"

// What a port gives to the core. `context` is handed back to every function.
struct hyt_hal {
    void* context;
    // Takes a whole frame to send, or none of it and returns false: never blocks.
    bool (*transmit)(void* context, const uint8_t* bytes, size_t size);
    // Puts out the setpoints (axes,) in micro-units; `enabled` false: the outputs must not drive.
    void (*output)(void* context, const int32_t* setpoints, uint8_t axes, bool enabled);
    // Whether the hardware emergency stop is active now; asked at every tick and at ARM.
    bool (*emergency_stop)(void* context);
    // Fills the measured positions (axes,) in micro-units, which hold the setpoints, and returns true; or
    // returns false where nothing measures them. Asked for every telemetry.
    bool (*measure)(void* context, int32_t* positions, uint8_t axes);
};

struct hyt_config {
    uint32_t tick_hz;                    // 1..100000
    uint32_t link_timeout_ticks;         // 1..HYT_MAX_LEAD_TICKS
    uint32_t underrun_timeout_ticks;     // 0: never
    uint32_t stall_limit_ticks;          // lost ticks in a row that are made up for; more trip
    uint32_t start_tick;                 // tick at boot
    uint8_t stop_action;                 // enum hyt_stop_action
    uint8_t welcome_flags;               // enum hyt_welcome_flag
    uint8_t axis_count;                  // 1..HYT_MAX_AXES
    char port[16];                       // what it runs on: ASCII, padded with zero bytes
    const struct hyt_axis_config* axes;  // (axis_count,), copied by hyt_firmware_init
};

enum hyt_config_error {
    HYT_CONFIG_OK,
    HYT_CONFIG_TICK_HZ,
    HYT_CONFIG_LINK_TIMEOUT,
    HYT_CONFIG_STOP_ACTION,
    HYT_CONFIG_AXIS_COUNT,
    HYT_CONFIG_AXIS_RANGE,          // low above high, or initial outside
    HYT_CONFIG_AXIS_LIMIT,          // a negative velocity or acceleration limit
    HYT_CONFIG_AXIS_INTERPOLATION,  // no enum hyt_interpolation
};

// Largest reply, which is TELEMETRY.
#define HYT_MAX_REPLY (HYT_TELEMETRY_SIZE + 8 * HYT_MAX_AXES)

// Read what you like; only the functions write.
struct hyt_firmware {
    struct hyt_config config;
    struct hyt_hal hal;
    struct hyt_motion motion;
    struct hyt_session session;
    struct hyt_receiver receiver;
    uint32_t tick;                    // of the setpoints last put out; wraps
    uint32_t trip_tick;               // of the last trip
    uint32_t latched_session;         // session in which the last trip happened
    uint32_t telemetry_period;        // ticks; 0: none on a schedule
    uint32_t telemetry_tick;          // of the next on the schedule
    uint16_t frames_sent;             // sequence of the last frame sent
    uint8_t state;                    // enum hyt_state
    uint8_t trip;                     // enum hyt_trip
    bool enabled;                     // the outputs drive
    bool must_restart;                // a chunk was rejected; wait for HYT_CHUNK_FLAG_RESTART
    bool announce;                    // the state changed and the host was not told yet
    uint32_t counters[HYT_COUNTERS];  // by enum hyt_counter; they wrap
    uint8_t payload[HYT_MAX_REPLY];
    uint8_t work[HYT_FRAME_SIZE(HYT_MAX_REPLY)];
    uint8_t encoded[HYT_ENCODED_MAX(HYT_MAX_REPLY)];
};

// Boots: disarmed, no session, outputs disabled, axes at rest at their initial setpoints. On any return but
// HYT_CONFIG_OK the firmware must not be used, and *axis is the index of the axis at fault where one is.
enum hyt_config_error hyt_firmware_init(struct hyt_firmware* firmware, const struct hyt_config* config,
                                        const struct hyt_hal* hal, uint8_t* axis);

// Takes received bytes, any number and content; good frames are executed and answered before it returns.
// Cannot fail: what is not good is counted.
void hyt_firmware_receive(struct hyt_firmware* firmware, const uint8_t* bytes, size_t size);

// Counts bytes that the port lost or found broken. The frame they were in fails its CRC by itself.
void hyt_firmware_lost(struct hyt_firmware* firmware, uint32_t bytes);

// Runs the ticks that are due by the port's clock: 1, or more when the timer was late. Up to
// stall_limit_ticks late ticks are made up for; more are skipped, and trip an armed firmware. Calls
// hal.output once per tick that is run.
void hyt_firmware_tick(struct hyt_firmware* firmware, uint32_t due);

#endif
