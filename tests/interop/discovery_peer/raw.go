package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	serverpb "github.com/siderolabs/discovery-api/api/v1alpha1/server/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // so that a call can ask for it
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// service is the path in front of each method.
const service = "/sidero.discovery.server.Cluster/"

// place is a server, and the address from which we speak to it. A server's patience is per address.
type place struct {
	Endpoint string `json:"endpoint"`
	Source   string `json:"source"`
	CA       string `json:"ca"`
}

// connection is one channel to one place.
type connection struct {
	channel *grpc.ClientConn
	client  serverpb.ClusterClient
}

// stream is an open watch from which the test reads when it likes.
type stream struct {
	watch  grpc.ServerStreamingClient[serverpb.WatchResponse]
	cancel context.CancelFunc
}

// request is one call. Body, if given, is sent as it is, in place of the request.
type request struct {
	place
	Method  string            `json:"method"`
	Request json.RawMessage   `json:"request"`
	Body    []byte            `json:"body"`
	Headers map[string]string `json:"headers"`
	Gzip    bool              `json:"gzip"`
	Timeout float64           `json:"timeout"`
}

func (p place) dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{}
	if p.Source != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.Source)}
	}

	return dialer.DialContext(ctx, "tcp", address)
}

func (p place) tlsConfig() *tls.Config {
	if p.CA == "" {
		return nil
	}

	pem, err := os.ReadFile(p.CA)
	if err != nil {
		panic(err)
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)

	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}

// connect finds or makes the channel to a place.
func (d *desk) connect(p place) (*connection, error) {
	if known, ok := d.places[p]; ok {
		return known, nil
	}

	secure := insecure.NewCredentials()
	if p.CA != "" {
		secure = credentials.NewTLS(p.tlsConfig())
	}

	channel, err := grpc.NewClient(
		p.Endpoint, grpc.WithTransportCredentials(secure), grpc.WithContextDialer(p.dial),
	)
	if err != nil {
		return nil, err
	}

	d.places[p] = &connection{channel: channel, client: serverpb.NewClusterClient(channel)}

	return d.places[p], nil
}

// call makes one call in the background and tells how it ended.
func (d *desk) call(o order) error {
	var says request
	if err := o.read(&says); err != nil {
		return err
	}

	to, err := d.connect(says.place)
	if err != nil {
		return err
	}

	go func() {
		ctx, cancel := context.WithTimeout(d.ctx, duration(says.Timeout))
		defer cancel()

		ctx = metadata.NewOutgoingContext(ctx, metadata.New(says.Headers))
		more, err := says.perform(ctx, to)
		d.answer(o.Name, more, err)
	}()

	return nil
}

// perform makes the call, with the generated stubs unless it has a body of its own.
func (r request) perform(ctx context.Context, to *connection) (event, error) {
	options := []grpc.CallOption{}
	if r.Gzip {
		options = append(options, grpc.UseCompressor("gzip"))
	}

	if r.Body != nil {
		var reply []byte

		err := to.channel.Invoke(ctx, service+r.Method, r.Body, &reply, append(options, grpc.ForceCodec(plain{}))...)

		return event{"body": reply}, err
	}

	switch r.Method {
	case "Hello":
		return unary(ctx, r.Request, &serverpb.HelloRequest{}, to.client.Hello, options)
	case "AffiliateUpdate":
		return unary(ctx, r.Request, &serverpb.AffiliateUpdateRequest{}, to.client.AffiliateUpdate, options)
	case "AffiliateDelete":
		return unary(ctx, r.Request, &serverpb.AffiliateDeleteRequest{}, to.client.AffiliateDelete, options)
	case "List":
		return unary(ctx, r.Request, &serverpb.ListRequest{}, to.client.List, options)
	default:
		return nil, fmt.Errorf("there is no stub for %q", r.Method)
	}
}

// unary reads a request, sends it through its stub, and writes the reply.
func unary[Q, R proto.Message](
	ctx context.Context, from json.RawMessage, request Q,
	stub func(context.Context, Q, ...grpc.CallOption) (R, error), options []grpc.CallOption,
) (event, error) {
	if err := protojson.Unmarshal(from, request); err != nil {
		return nil, err
	}

	reply, err := stub(ctx, request, options...)
	if err != nil {
		return nil, err
	}

	return event{"reply": text(reply)}, nil
}

// open begins a watch, and tells its first message, or why there was none.
func (d *desk) open(o order) error {
	var says request
	if err := o.read(&says); err != nil {
		return err
	}

	wanted := &serverpb.WatchRequest{}
	if err := protojson.Unmarshal(says.Request, wanted); err != nil {
		return err
	}

	to, err := d.connect(says.place)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(d.ctx, duration(says.Timeout))

	watch, err := to.client.Watch(ctx, wanted)
	if err != nil {
		cancel()

		return err
	}

	d.streams[o.Name] = &stream{watch, cancel}

	go func() {
		message, err := watch.Recv()
		if err != nil {
			d.answer(o.Name, nil, err)
		} else {
			d.answer(o.Name, event{"reply": text(message)}, nil)
		}
	}()

	return nil
}

// drain reads a watch to its end, or for some seconds, and tells all that came.
func (d *desk) drain(o order) error {
	var says struct {
		Seconds float64 `json:"seconds"`
	}

	from, ok := d.streams[o.Name]
	if !ok {
		return fmt.Errorf("there is no watch %q", o.Name)
	}

	if err := o.read(&says); err != nil {
		return err
	}

	delete(d.streams, o.Name)

	go func() {
		defer from.cancel()

		go func() {
			if wait(from.watch.Context(), duration(says.Seconds)) {
				from.cancel()
			}
		}()

		replies := []json.RawMessage{}

		for {
			message, err := from.watch.Recv()
			if err != nil {
				d.answer(o.Name, event{"replies": replies}, err)

				return
			}

			replies = append(replies, text(message))
		}
	}()

	return nil
}

// wait returns whether the time passed before the context ended.
func wait(ctx context.Context, length time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(length):
		return true
	}
}

// answer tells how a call ended: the number of its status code, 0 when all went well.
func (d *desk) answer(name string, more event, err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}

	if more == nil {
		more = event{}
	}

	said := status.Convert(err)
	more["code"], more["message"] = int(said.Code()), said.Message()
	d.tell("answer", name, more)
}

// text is a message as the test reads it.
func text(message proto.Message) json.RawMessage {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		panic(err)
	}

	return data
}

// plain lets bytes through as they are, whatever they mean.
type plain struct{}

var _ encoding.Codec = plain{}

func (plain) Name() string { return "proto" }

func (plain) Marshal(bytes any) ([]byte, error) { return bytes.([]byte), nil } //nolint:forcetypeassert

func (plain) Unmarshal(data []byte, bytes any) error {
	*bytes.(*[]byte) = data //nolint:forcetypeassert

	return nil
}
