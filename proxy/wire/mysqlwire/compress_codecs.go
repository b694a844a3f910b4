package mysqlwire

// The two algorithms of the compressed protocol. What they need to work is heavy (up to some megabytes),
// so it is shared by all connections: pooled, or in use for one chunk at a time.

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how far a compressed frame may refer back, in bytes: no frame is longer.
const maxWindow = 16 << 20

type zlibCompression struct{}

type zlibExpander struct{ io.ReadCloser }

// tail appends what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	return len(p), nil
}

var (
	zlibWriters   = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}
	zlibExpanders sync.Pool
)

func (zlibCompression) compress(dst, src []byte) ([]byte, error) {
	w := zlibWriters.Get().(*zlib.Writer)
	defer zlibWriters.Put(w)
	out := tail{dst}
	w.Reset(&out)
	defer w.Reset(nil)
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.b, nil
}

func (zlibCompression) expander(src io.Reader) (expander, error) {
	if e, ok := zlibExpanders.Get().(*zlibExpander); ok {
		return e, e.ReadCloser.(zlib.Resetter).Reset(src, nil)
	}
	r, err := zlib.NewReader(src)
	if err != nil {
		return nil, err
	}
	return &zlibExpander{r}, nil
}

func (e *zlibExpander) release() { zlibExpanders.Put(e) }

// zstdCompression is zstd at a level that the client chooses, 1 to 22.
type zstdCompression struct{ level int }

type zstdExpander struct{ *zstd.Decoder }

// zstdEncoders are the encoders of the library's few levels, made when first used. Each works for
// as many goroutines at once as there are processors.
var zstdEncoders = [...]func() (*zstd.Encoder, error){
	zstd.SpeedFastest:           zstdEncoder(zstd.SpeedFastest),
	zstd.SpeedDefault:           zstdEncoder(zstd.SpeedDefault),
	zstd.SpeedBetterCompression: zstdEncoder(zstd.SpeedBetterCompression),
	zstd.SpeedBestCompression:   zstdEncoder(zstd.SpeedBestCompression),
}

func zstdEncoder(level zstd.EncoderLevel) func() (*zstd.Encoder, error) {
	return sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false),
			zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(maxChunk))
	})
}

var zstdExpanders sync.Pool

func (z zstdCompression) compress(dst, src []byte) ([]byte, error) {
	e, err := zstdEncoders[zstd.EncoderLevelFromZstd(z.level)]()
	if err != nil {
		return nil, err
	}
	return e.EncodeAll(src, dst), nil
}

func (zstdCompression) expander(src io.Reader) (expander, error) {
	if e, ok := zstdExpanders.Get().(*zstdExpander); ok {
		return e, e.Reset(src)
	}
	d, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, err
	}
	return &zstdExpander{d}, nil
}

func (e *zstdExpander) release() {
	if e.Reset(nil) == nil {
		zstdExpanders.Put(e)
	}
}
