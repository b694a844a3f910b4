# Leat in an image of its own binaries and nothing else. Build: docker build -t leat .
# Run: docker run -v $PWD/leat.yaml:/etc/leat/leat.yaml:ro -p 6033:6033 leat
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/leat ./cmd/leatctl

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/leat /out/leatctl /
# leatctl asks the admin port, if the config has it on this address; LEAT_TOKEN holds its token.
ENV LEAT_ADMIN=http://127.0.0.1:6070
USER 65532:65532
EXPOSE 6033 6070
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/leatctl", "status", "--check"]
ENTRYPOINT ["/leat"]
CMD ["serve", "--config", "/etc/leat/leat.yaml"]
