// The official discovery client library, driven line by line from the tests.
//
// Reads one JSON order a line from standard input and writes one JSON event a line to standard
// output. An order names what it is about; the event that answers it carries the same name. Ends at
// the order "quit", or when standard input does, so that it never outlives the test that started it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// longestLine is enough for an order with a message that is larger than any server takes.
const longestLine = 16 << 20

// order is one line from the test: what to do, about whom, and the whole line for the rest of it.
type order struct {
	Do   string `json:"do"`
	Name string `json:"name"`
	line []byte
}

// read fills in what only this kind of order has.
func (o order) read(into any) error {
	return json.Unmarshal(o.line, into)
}

// event is one line to the test.
type event map[string]any

// desk is where orders are carried out and events written down, by as many goroutines as like to.
type desk struct {
	ctx     context.Context
	mu      sync.Mutex
	lines   *bufio.Writer
	members map[string]*member
	places  map[place]*connection
	streams map[string]*stream
}

func newDesk(ctx context.Context) *desk {
	return &desk{
		ctx:     ctx,
		lines:   bufio.NewWriter(os.Stdout),
		members: map[string]*member{},
		places:  map[place]*connection{},
		streams: map[string]*stream{},
	}
}

// tell writes one event, whole, with the moment at which it was written.
func (d *desk) tell(kind, name string, more event) {
	line := event{"event": kind, "name": name, "at": seconds(time.Now())}
	for key, value := range more {
		line[key] = value
	}

	data, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}

	d.Write(append(data, '\n')) //nolint:errcheck // nobody is left to hear of it
}

// Write takes one whole line; this is where the library's log goes, too.
func (d *desk) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if _, err := d.lines.Write(line); err != nil {
		return 0, err
	}

	return len(line), d.lines.Flush()
}

// obey carries out one order; an error is told under the order's name.
func (d *desk) obey(o order) error {
	orders := map[string]func(order) error{
		"start": d.start, "set": d.set, "delete": d.delete, "stop": d.stop,
		"call": d.call, "open": d.open, "drain": d.drain, "pings": d.pings,
	}

	carryOut, known := orders[o.Do]
	if !known {
		return fmt.Errorf("nobody knows how to %q", o.Do)
	}

	return carryOut(o)
}

// seconds is a moment as Python writes one.
func seconds(moment time.Time) float64 {
	return float64(moment.UnixNano()) / 1e9
}

// duration is a length of time as Python writes one.
func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	d := newDesk(ctx)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 0, longestLine), longestLine)

	for lines.Scan() {
		o := order{line: append([]byte(nil), lines.Bytes()...)}
		err := json.Unmarshal(o.line, &o)

		if err == nil && o.Do == "quit" {
			return
		}

		if err == nil {
			err = d.obey(o)
		}

		if err != nil {
			d.tell("failed", o.Name, event{"error": err.Error()})
		}
	}
}
