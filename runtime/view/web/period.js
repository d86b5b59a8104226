// The places of a period's fields in the server's message (message.py).
export const [NUMBER, EPISODE, ACT, BEFORE, BESIDE, LENGTH, MARGIN, LATE, VALUES] = Array(9).keys();
