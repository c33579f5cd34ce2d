package once

// Remembered is how many numbers a client remembers.
func Remembered(c *Client) int { return len(c.done) }
