// Package worker is the asynq edge: it hears the bell, decodes a task, and makes
// one call to the broker. A task is a hint; what is to be done, and whether,
// says SQL. So nothing here retries: the sweeper rings again for what is due.
package worker
