//go:build !linux

package group

import "time"

// monotonic: here it is the time of day, and a step of it spoils a run.
func monotonic() int64 { return time.Now().UnixNano() }

func sleeper() (done func()) { return func() {} }

func sleepUntil(now, t int64) { time.Sleep(time.Duration(t - now)) }

func kernelUsage() Usage { return Usage{} }
