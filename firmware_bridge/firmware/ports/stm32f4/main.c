// hyt-firmware-stm32f4: the firmware on an STM32F4, for an arm of hobby servos; see docs/stm32f4.md for the
// wires.
#include "board.h"
#include "firmware.h"
#include "robot.h"
#include "servos.h"
#include "uart.h"

static struct hyt_firmware firmware;

static bool transmit(void* context, const uint8_t* bytes, size_t size) {
    (void)context;
    return hyt_uart_send(bytes, size);
}

static void output(void* context, const int32_t* setpoints, uint8_t axes, bool enabled) {
    (void)context;
    (void)axes;
    hyt_servos_put(hyt_robot_servos, setpoints, enabled);
}

static bool emergency_stop(void* context) {
    (void)context;
    return hyt_board_emergency_stop();
}

static bool measure(void* context, int32_t* positions, uint8_t axes) {
    (void)context;
    (void)positions;
    (void)axes;
    return false;  // a hobby servo does not tell where it is
}

static void receive(void) {
    uint8_t bytes[128];
    size_t count;
    // At most a ring of bytes a turn, so that a host that never pauses cannot keep the ticks away.
    for (int i = 0; i < 32 && (count = hyt_uart_read(bytes, sizeof bytes)) > 0; ++i) {
        hyt_firmware_receive(&firmware, bytes, count);
    }
    hyt_firmware_lost(&firmware, hyt_uart_errors());
}

int main(void) {
    static const struct hyt_hal hal = {0, transmit, output, emergency_stop, measure};
    uint8_t axis;
    hyt_board_start_clock();
    hyt_board_open_emergency_stop();
    hyt_servos_open(hyt_board_timer_hz);
    if (hyt_firmware_init(&firmware, &hyt_robot, &hal, &axis) != HYT_CONFIG_OK) return 1;
    hyt_uart_open(hyt_board_bus_hz, HYT_BAUD_RATE);
    hyt_board_start_ticks(hyt_robot.tick_hz);
    for (;;) {
        receive();
        hyt_firmware_tick(&firmware, hyt_board_ticks());
        hyt_board_feed();
        hyt_board_sleep(hyt_uart_pending);
    }
}
