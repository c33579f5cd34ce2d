package member

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"maestro/cmd/maestro/internal/kv"
)

// serve starts the HTTP servers that are wanted. The caller calls stop.
func (p *program) serve() (stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = s.Shutdown(ctx) // and if it takes longer, the process ends it
			cancel()
		}
	}
	start := func(what, addr string, h http.Handler) error {
		l, err := net.Listen("tcp", local(addr))
		if err != nil {
			return err
		}
		s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
		servers = append(servers, s)
		go s.Serve(l) //nolint:errcheck // ends with Shutdown
		p.print.line(Event{Event: what, Text: what + " at http://" + l.Addr().String(),
			Value: l.Addr().String()})
		return nil
	}
	if p.c.HTTP != "" {
		err = start("http", p.c.HTTP, p.api())
	}
	if err == nil && p.c.Metrics != "" {
		var h http.Handler
		if h, err = p.metrics(); err == nil {
			err = start("metrics", p.c.Metrics, h)
		}
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// local makes an address without a host one of this machine only.
func local(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// api is the HTTP interface to the map.
func (p *program) api() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), p.c.Timeout)
			defer cancel()
			var err error
			if r.URL.Query().Has("sync") {
				err = p.store.Sync(ctx)
			}
			if err == nil {
				err = f(w, r.WithContext(ctx))
			}
			if err != nil {
				http.Error(w, err.Error(), code(err))
			}
		})
	}
	handle("GET /kv", p.dump)
	handle("GET /kv/{key...}", p.get)
	handle("PUT /kv/{key...}", p.put)
	handle("DELETE /kv/{key...}", p.delete)
	handle("GET /view", func(w http.ResponseWriter, _ *http.Request) error {
		e := Event{Event: "view", Time: time.Now().UnixNano()}
		if v := p.store.View(); v != nil {
			e.view(v)
		}
		return write(w, e)
	})
	handle("GET /digest", func(w http.ResponseWriter, r *http.Request) error {
		d, err := p.store.Digest(r.Context())
		if err != nil {
			return err
		}
		return write(w, d)
	})
	handle("GET /livez", func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "ok\n")
		return err
	})
	handle("GET /readyz", func(w http.ResponseWriter, _ *http.Request) error {
		if !p.store.Ready() {
			return errNotReady
		}
		_, err := io.WriteString(w, "ok\n")
		return err
	})
	return mux
}

var (
	errNotReady = errors.New("not ready: not in a view, or without the map")
	errNoKey    = errors.New("no such key")
)

func code(err error) int {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, errNoKey):
		return http.StatusNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, kv.ErrTooLarge), errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, kv.ErrNoQuorum), errors.Is(err, kv.ErrClosed), errors.Is(err, errNotReady):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func write(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func (p *program) dump(w http.ResponseWriter, r *http.Request) error {
	list, err := p.store.Dump(r.Context())
	if err != nil {
		return err
	}
	return write(w, list)
}

func (p *program) get(w http.ResponseWriter, r *http.Request) error {
	v, ok, err := p.store.Get(r.Context(), r.PathValue("key"))
	switch {
	case err != nil:
		return err
	case !ok:
		return errNoKey
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, err = io.WriteString(w, v)
	return err
}

func (p *program) put(w http.ResponseWriter, r *http.Request) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, kv.MaxValue))
	if err != nil {
		return err
	}
	if err := p.store.Set(r.Context(), r.PathValue("key"), string(b)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (p *program) delete(w http.ResponseWriter, r *http.Request) error {
	was, err := p.store.Delete(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	if !was {
		return errNoKey
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
