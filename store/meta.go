package store

import (
	"context"
)

// Meta returns a fact about this database, nil when it was never stated.
func (s *Store) Meta(ctx context.Context, name string) ([]byte, error) {
	var values [][]byte
	err := s.db.WithContext(ctx).Table("meta").Where("name = ?", name).Pluck("value", &values).Error
	if err != nil || len(values) == 0 {
		return nil, err
	}
	return values[0], nil
}

// StateMeta states a fact about this database unless another process did so
// first, and returns what now holds.
func (s *Store) StateMeta(ctx context.Context, name string, value []byte) ([]byte, error) {
	err := s.db.WithContext(ctx).Exec("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, value).Error
	if err != nil {
		return nil, err
	}
	return s.Meta(ctx, name)
}
