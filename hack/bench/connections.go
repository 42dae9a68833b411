package main

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// connectionCount is how many connections are made to measure once.
const connectionCount = 2000

// connections returns how many connections a second go along a way.
func connections(w way) (float64, error) {
	to, err := w.to.open()
	if err != nil {
		return 0, err
	}
	defer to.Close()
	var l net.Listener
	if err := to.Do(func() (err error) {
		l, err = net.Listen("tcp", ":"+flowPort)
		return err
	}); err != nil {
		return 0, err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("!"))
			c.Close()
		}
	}()
	from, err := w.from.open()
	if err != nil {
		return 0, err
	}
	defer from.Close()
	begun := time.Now()
	err = from.Do(func() error {
		for range connectionCount {
			if err := connect(net.JoinHostPort(w.address, w.port)); err != nil {
				return err
			}
		}
		return nil
	})
	return connectionCount / time.Since(begun).Seconds(), err
}

// connect makes one connection and reads its byte. It ends with a reset: thousands that wait for late packets would take all
// ports.
func connect(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("a connection of type %T", c)
	}
	_, err = c.Read(make([]byte, 1))
	return errors.Join(err, tcp.SetLinger(0))
}
