package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func openDB(t *testing.T, cfg *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// owner and item are what GORM maps to tables.
type owner struct {
	ID    uint
	Name  string `gorm:"size:40;uniqueIndex"`
	Items []item
}

type item struct {
	ID      uint
	OwnerID uint
	Label   string
}

func checkGORM(ctx context.Context, t *testing.T, l *leat) {
	db, err := gorm.Open(gormmysql.Open(l.DSN(clientsDatabase)+"&parseTime=true"), &gorm.Config{Logger: logger.Discard, TranslateError: true})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	db = db.WithContext(ctx)
	if err := db.AutoMigrate(&owner{}, &item{}); err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1) // one session, which reads its own writes
	for i := range 20 {
		made := owner{Name: fmt.Sprint("ä", i), Items: []item{{Label: "a"}, {Label: "b"}}}
		if err := db.Create(&made).Error; err != nil {
			t.Fatal(err)
		}
		var got owner
		if err := db.Preload("Items").First(&got, made.ID).Error; err != nil {
			t.Fatal(err)
		}
		if got.Name != made.Name || len(got.Items) != 2 {
			t.Errorf("got %+v, want %+v", got, made)
		}
	}
	if err := db.Create(&owner{Name: "ä1"}).Error; !errors.Is(err, gorm.ErrDuplicatedKey) {
		t.Errorf("a duplicate: got %v, want %v", err, gorm.ErrDuplicatedKey)
	}
	undone := errors.New("undone")
	err = db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Where("1 = 1").Delete(&item{}).Error; err != nil {
			return err
		}
		return undone
	})
	var n int64
	if count := db.Model(&item{}).Count(&n).Error; !errors.Is(err, undone) || count != nil || n != 40 {
		t.Errorf("after the rollback: got %d items, %v, %v; want 40", n, err, count)
	}
}
