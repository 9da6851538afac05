// Package jobs rings the doorbell of the workers: it puts small tasks into
// Redis, and is the only place that knows the client side of asynq.
//
// A task is a hint. Its payload holds ids; what is to be done says the row in
// SQL, and a sweeper rings again for whatever is due. So a lost task costs a
// few seconds, a double one nothing, and an empty Redis refills itself.
//
// Each kind of task has a file: its name, payload and queue.
package jobs
