package main

import (
	"encoding/binary"
	"time"

	"golang.org/x/net/http2"
)

// pings sends HTTP/2 pings without a call, as fast as it is told to, and tells what came back.
//
// gRPC for Go pings no faster than every 10 s, which would make a long test.
func (d *desk) pings(o order) error {
	var says struct {
		place
		Count uint64  `json:"count"`
		Every float64 `json:"every"`
	}

	if err := o.read(&says); err != nil {
		return err
	}

	socket, err := says.dial(d.ctx, says.Endpoint)
	if err != nil {
		return err
	}

	if _, err = socket.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}

	frames := http2.NewFramer(socket, socket)
	if err = frames.WriteSettings(); err != nil {
		return err
	}

	go func() {
		defer socket.Close() //nolint:errcheck

		socket.SetReadDeadline(time.Now().Add(10*time.Second + duration(says.Every*float64(says.Count)))) //nolint:errcheck

		go sendPings(frames, says.Count, duration(says.Every))

		acknowledged, reason := hearPings(frames, says.Count)
		d.tell("answer", o.Name, event{"acknowledged": acknowledged, "goaway": reason})
	}()

	return nil
}

// sendPings numbers its pings.
func sendPings(frames *http2.Framer, count uint64, every time.Duration) {
	for n := range count {
		var data [8]byte

		binary.BigEndian.PutUint64(data[:], n)

		if frames.WritePing(false, data) != nil {
			return
		}

		time.Sleep(every)
	}
}

// hearPings reads until every ping was answered, or the server has had enough of them.
func hearPings(frames *http2.Framer, count uint64) (acknowledged uint64, reason string) {
	for acknowledged < count {
		frame, err := frames.ReadFrame()

		switch frame := frame.(type) {
		case *http2.PingFrame:
			if frame.IsAck() {
				acknowledged++
			}
		case *http2.GoAwayFrame:
			return acknowledged, frame.ErrCode.String() + " " + string(frame.DebugData())
		}

		if err != nil {
			return acknowledged, err.Error()
		}
	}

	return acknowledged, ""
}
