// Times and turns in words.
import { ACT, BEFORE, BESIDE, LATE, MARGIN, NUMBER } from "/period.js";

export const ms = (seconds) => `${(seconds * 1e3).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
export const signed = (seconds) => (seconds < 0 ? "\u2212" : "+") + ms(Math.abs(seconds));

export function ago(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s ago`;
  return `${Math.floor(seconds / 60)} min ago`;
}

export function describe(period) {
  if (!period) return "";
  const parts = [`turn ${period[NUMBER]}: acting ${ms(period[ACT])}`];
  if (period[BEFORE] > 0) parts.push(`the action waited ${ms(period[BEFORE])} for a thought`);
  if (period[BESIDE] > 0) parts.push(`${ms(period[BESIDE])} of thinking in the slack`);
  if (period[MARGIN] !== null) parts.push(`margin ${signed(period[MARGIN])}`);
  if (period[LATE]) parts.push("late");
  return parts.join(", ");
}
