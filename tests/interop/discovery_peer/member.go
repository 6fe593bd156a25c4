package main

import (
	"context"
	"crypto/aes"
	"encoding/json"
	"fmt"
	"path"
	"time"

	clientpb "github.com/siderolabs/discovery-api/api/v1alpha1/client/pb"
	"github.com/siderolabs/discovery-client/pkg/client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// member is one node of a cluster as Talos is one: the library's client, and what it was seen to know.
type member struct {
	client *client.Client
	cancel context.CancelFunc
	ended  chan struct{}
}

// start makes a member that keeps running until it is stopped.
//
// The library's own options, in Talos's way: TTL in seconds, the secret in base64.
func (d *desk) start(o order) error {
	var says struct {
		place
		Cluster   string  `json:"cluster"`
		Affiliate string  `json:"affiliate"`
		Secret    []byte  `json:"secret"`
		Version   string  `json:"version"`
		TTL       float64 `json:"ttl"`
	}

	if err := o.read(&says); err != nil {
		return err
	}

	block, err := aes.NewCipher(says.Secret)
	if err != nil {
		return err
	}

	official, err := client.NewClient(client.Options{
		Cipher:        block,
		Endpoint:      says.Endpoint,
		ClusterID:     says.Cluster,
		AffiliateID:   says.Affiliate,
		ClientVersion: says.Version,
		TTL:           duration(says.TTL),
		Insecure:      says.CA == "",
		TLSConfig:     says.tlsConfig,
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(says.dial), grpc.WithUnaryInterceptor(d.overhear(o.Name)),
		},
	})
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(d.ctx)
	d.members[o.Name] = &member{client: official, cancel: cancel, ended: make(chan struct{})}

	go d.run(ctx, o.Name, d.members[o.Name])

	d.tell("done", o.Name, nil)

	return nil
}

// run is the member's life: the library's loop, and beside it one event for each of its notifications.
func (d *desk) run(ctx context.Context, name string, m *member) {
	defer close(m.ended)

	notify := make(chan struct{}, 1)

	go func() {
		known := map[*client.Affiliate]bool{}

		for {
			select {
			case <-ctx.Done():
				return
			case <-notify:
				known = d.tellSeen(name, m, known)
			}
		}
	}()

	if err := m.client.Run(ctx, d.logger(name), notify); err != nil {
		d.tell("failed", name, event{"error": err.Error()})
	}
}

// overhear tells how each call of a member ended, which the library keeps to itself.
func (d *desk) overhear(name string) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, channel *grpc.ClientConn,
		invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		err := invoke(ctx, method, request, reply, channel, options...)
		d.tell("called", name, event{"method": path.Base(method), "code": int(status.Code(err))})

		return err
	}
}

// tellSeen tells what changed since the last notification, and returns what is known with it.
//
// The library replaces an affiliate whole when it hears of it, so a new pointer is a new version.
func (d *desk) tellSeen(name string, m *member, before map[*client.Affiliate]bool) map[*client.Affiliate]bool {
	changed, gone := []*client.Affiliate{}, []string{}
	known, ids := map[*client.Affiliate]bool{}, map[string]bool{}

	for _, one := range m.client.GetAffiliates() {
		known[one], ids[one.Affiliate.NodeId] = true, true

		if !before[one] {
			changed = append(changed, one)
		}
	}

	for one := range before {
		if !ids[one.Affiliate.NodeId] {
			gone = append(gone, one.Affiliate.NodeId)
		}
	}

	d.tell("seen", name, event{
		"changed": written(changed), "gone": gone, "known": len(known), "public_ip": m.client.GetPublicIP(),
	})

	return known
}

// set is the library's SetLocalData.
func (d *desk) set(o order) error {
	var says struct {
		Affiliate json.RawMessage   `json:"affiliate"`
		Endpoints []json.RawMessage `json:"endpoints"`
		Others    []struct {
			Affiliate string            `json:"affiliate"`
			Endpoints []json.RawMessage `json:"endpoints"`
		} `json:"others"`
	}

	m, err := d.about(o, &says)
	if err != nil {
		return err
	}

	local := client.Affiliate{Affiliate: &clientpb.Affiliate{}}
	if err = protojson.Unmarshal(says.Affiliate, local.Affiliate); err != nil {
		return err
	}

	if local.Endpoints, err = endpoints(says.Endpoints); err != nil {
		return err
	}

	others := make([]client.Endpoint, len(says.Others))
	for i, other := range says.Others {
		others[i].AffiliateID = other.Affiliate

		if others[i].Endpoints, err = endpoints(other.Endpoints); err != nil {
			return err
		}
	}

	began := time.Now()

	if err = m.client.SetLocalData(&local, others); err != nil {
		return err
	}

	d.tell("done", o.Name, event{"began": seconds(began)})

	return nil
}

// delete is the library's DeleteLocalAffiliate.
func (d *desk) delete(o order) error {
	m, err := d.about(o, nil)
	if err != nil {
		return err
	}

	began := time.Now()

	m.client.DeleteLocalAffiliate()
	d.tell("done", o.Name, event{"began": seconds(began)})

	return nil
}

// stop ends the member without a word to the server, as a crash would.
func (d *desk) stop(o order) error {
	m, err := d.about(o, nil)
	if err != nil {
		return err
	}

	m.cancel()
	<-m.ended
	delete(d.members, o.Name)
	d.tell("done", o.Name, nil)

	return nil
}

// about finds the member that the order is about, and reads the rest of the order.
func (d *desk) about(o order, says any) (*member, error) {
	m, ok := d.members[o.Name]
	if !ok {
		return nil, fmt.Errorf("there is no member %q", o.Name)
	}

	if says == nil {
		return m, nil
	}

	return m, o.read(says)
}

// logger makes each line of the library's log an event of the member.
func (d *desk) logger(name string) *zap.Logger {
	config := zapcore.EncoderConfig{
		MessageKey:     "message",
		LevelKey:       "level",
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.AddSync(d), zap.WarnLevel)

	return zap.New(core).With(zap.String("event", "log"), zap.String("name", name))
}

// endpoints reads endpoints.
func endpoints(texts []json.RawMessage) ([]*clientpb.Endpoint, error) {
	read := make([]*clientpb.Endpoint, len(texts))

	for i, text := range texts {
		read[i] = &clientpb.Endpoint{}

		if err := protojson.Unmarshal(text, read[i]); err != nil {
			return nil, err
		}
	}

	return read, nil
}

// written is affiliates as the test reads them.
func written(affiliates []*client.Affiliate) []event {
	texts := make([]event, len(affiliates))

	for i, one := range affiliates {
		ends := make([]json.RawMessage, len(one.Endpoints))
		for k, end := range one.Endpoints {
			ends[k] = text(end)
		}

		texts[i] = event{"affiliate": text(one.Affiliate), "endpoints": ends}
	}

	return texts
}
