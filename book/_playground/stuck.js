/** Whether a climb is stuck. Pure function. */

/** A climb that opens a lock has left the bottom after a few steps. @param {number[]} scores in nats, one for each step so far */
export const stuck = (scores, { early, enough }) => scores.length === early && Math.max(...scores) < enough;
