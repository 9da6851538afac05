FROM golang:1.26 AS build
WORKDIR /src

# Modules first: a change of source then reuses this layer.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=container
# No cgo (SQLite included), so the binary runs in an image that holds nothing else.
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/grantd ./cmd/grantd

# /data exists in the image, owned by grantd's user, because a new named volume takes its owner from what it covers.
RUN mkdir -p /rootfs/data /rootfs/tmp

FROM scratch
# Upstreams are called over TLS: without these roots every token call fails.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /rootfs/ /
COPY --from=build /out/grantd /usr/bin/grantd

ENV GRANTD_DATA=/data
# In a container loopback reaches nobody; what is published to the outside is the operator's choice.
ENV GRANTD_LISTEN=0.0.0.0:8080
EXPOSE 8080
# A number, not a name: there is no /etc/passwd here, and Kubernetes' runAsNonRoot needs a number to check.
USER 65532:65532
ENTRYPOINT ["/usr/bin/grantd"]
CMD ["serve"]
