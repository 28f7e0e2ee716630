package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const (
	defaultImage = "postgres:18-alpine"

	// pingTimeout bounds the search for a Docker engine. A socket that accepts and never answers
	// would hold the Docker client for ever.
	pingTimeout = 2 * time.Second

	// runTimeout bounds the start of a container, with the download of its image.
	runTimeout = 5 * time.Minute

	// ownerLabel holds "host:pid" of the process that a container belongs to.
	ownerLabel = "revoke.pgserver.owner"

	password    = "revoke" // of a server that listens for the length of a test run
	primaryPort = "5432/tcp"
	standbyPort = "5433/tcp"

	// These must not be less on a standby than on its primary.
	maxConnections, maxPrepared = "200", "10"
)

// openDocker starts a container. If this process is killed, the reaper of testcontainers
// removes the container. If the reaper is switched off, the next openDocker on this machine
// removes it.
func openDocker(ctx context.Context) (*Server, error) {
	if err := pingDocker(ctx); err != nil {
		return nil, err
	}
	log.SetDefault(log.NewNoopLogger()) // the errors say the same
	if err := removeOrphans(ctx); err != nil {
		return nil, err
	}
	image := os.Getenv(imageVariable)
	if image == "" {
		image = defaultImage
	}
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	container, err := postgres.Run(ctx, image,
		postgres.WithUsername("postgres"), postgres.WithPassword(password), postgres.WithDatabase("postgres"),
		postgres.BasicWaitStrategies(),
		testcontainers.WithExposedPorts(standbyPort),
		testcontainers.WithLabels(map[string]string{ownerLabel: owner()}),
		testcontainers.WithCmd("postgres", "-c", "fsync=off", "-c", "max_connections="+maxConnections,
			"-c", "max_prepared_transactions="+maxPrepared))
	remove := func() error {
		return testcontainers.TerminateContainer(container, testcontainers.StopTimeout(time.Second))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("image %s: %w", image, err), remove())
	}
	address, err := container.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return &Server{
		Source: "image " + image,
		url:    address,
		close:  remove,
		standby: func(ctx context.Context) (*Server, error) {
			return startDockerStandby(ctx, container)
		},
	}, nil
}

// startDockerStandby starts a second server in the primary's container.
func startDockerStandby(ctx context.Context, container *postgres.PostgresContainer) (*Server, error) {
	const data = "/tmp/standby"
	run := func(ctx context.Context, script string) error {
		status, output, err := container.Exec(ctx, []string{"sh", "-c", script}, tcexec.WithUser("postgres"), tcexec.Multiplexed())
		if err != nil || status == 0 {
			return err
		}
		text, _ := io.ReadAll(output)
		return fmt.Errorf("the standby does not start: status %d: %s", status, text)
	}
	err := run(ctx, "PGPASSWORD="+password+" pg_basebackup -D "+data+" -U postgres -R --checkpoint=fast --no-sync && "+
		"pg_ctl -D "+data+" -o '-p 5433 -c max_connections="+maxConnections+
		" -c max_prepared_transactions="+maxPrepared+"' -l "+data+".log -w start")
	if err != nil {
		return nil, err
	}
	endpoint, err := container.PortEndpoint(ctx, standbyPort, "")
	if err != nil {
		return nil, err
	}
	return &Server{
		Source: "a standby in a container",
		url:    "postgres://postgres:" + password + "@" + endpoint + "/postgres?sslmode=disable",
		close: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			return run(ctx, "pg_ctl -D "+data+" -m immediate -w stop && rm -rf "+data+" "+data+".log")
		},
	}, nil
}

// pingDocker looks for an engine where the Docker client would, and asks it for an answer.
func pingDocker(ctx context.Context) error {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
		for _, rootless := range []string{
			filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "docker.sock"),
			filepath.Join(os.Getenv("HOME"), ".docker", "run", "docker.sock"),
		} {
			if _, err := os.Stat("/var/run/docker.sock"); err == nil {
				break
			}
			if _, err := os.Stat(rootless); err == nil {
				host = "unix://" + rootless
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	u, err := url.Parse(host)
	if err != nil {
		return fmt.Errorf("DOCKER_HOST %q is no URL", host)
	}
	network, address := u.Scheme, u.Host
	if network == "unix" {
		address = u.Path
	}
	if network != "unix" && network != "tcp" {
		return nil // a named pipe: left to the client
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return fmt.Errorf("no engine: %w", err)
	}
	defer conn.Close()
	if network == "tcp" {
		return nil // perhaps over TLS, which is left to the client
	}
	deadline, _ := ctx.Deadline()
	err = conn.SetDeadline(deadline)
	if err == nil {
		_, err = io.WriteString(conn, "GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
	}
	answer := make([]byte, len("HTTP/1.x 200"))
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err != nil {
		return fmt.Errorf("the engine at %s does not answer: %w", host, err)
	}
	if !strings.HasSuffix(string(answer), " 200") {
		return fmt.Errorf("the engine at %s answers %q", host, answer)
	}
	return nil
}

func owner() string {
	host, _ := os.Hostname()
	return host + ":" + strconv.Itoa(os.Getpid())
}

// removeOrphans removes the containers of processes on this machine that have ended. It does
// nothing if there is a reaper.
func removeOrphans(ctx context.Context) error {
	if !testcontainers.ReadConfig().Config.RyukDisabled || runtime.GOOS == "windows" {
		return nil
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer docker.Close()
	found, err := docker.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", ownerLabel),
	})
	if err != nil {
		return err
	}
	here, _ := os.Hostname()
	for _, container := range found.Items {
		host, pid, _ := strings.Cut(container.Labels[ownerLabel], ":")
		n, err := strconv.Atoi(pid)
		if host != here || err != nil {
			continue
		}
		process, err := os.FindProcess(n)
		if err == nil && !errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
			continue
		}
		_, err = docker.ContainerRemove(ctx, container.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil {
			return err
		}
	}
	return nil
}
