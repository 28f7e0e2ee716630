package revokehttp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/strict"
)

// SubjectID names a user in one of the formats of RFC 9493 §3.2: "iss_sub" with Issuer and Subject, "opaque" with ID, or "email"
// with Email. What does not belong to the format is empty. An address is as it was sent: how it compares is the resolver's
// to know.
type SubjectID struct {
	Format          string
	Issuer, Subject string
	ID              string
	Email           string
}

// Resolver returns the user whose tokens a SubjectID speaks of. Its error matches [ErrUnknownUser] where there is none,
// [ErrStaysLoggedIn] where there is one who cannot be logged out, or [ErrUnknownFormat]; any other is answered with 503.
// It must look at the format. It is called from several goroutines.
type Resolver func(ctx context.Context, id SubjectID) (revoke.User, error)

// What a [Resolver] may say.
var (
	// ErrUnknownUser says that there is no such user. It is answered with 404.
	ErrUnknownUser = errors.New("unknown user")

	// ErrStaysLoggedIn says that the user is known, and cannot be logged out. It is answered with 422.
	ErrStaysLoggedIn = errors.New("the user cannot be logged out")

	// ErrUnknownFormat says that users are not named in this format here. It is answered with 400.
	ErrUnknownFormat = errors.New("unknown format of a subject identifier")
)

// subjectFormats are the members that each format has beside "format", all of them and no other (RFC 9493 §3).
var subjectFormats = map[string][]string{
	"iss_sub": {"iss", "sub"},
	"opaque":  {"id"},
	"email":   {"email"},
}

// readSubject reads the body of a request: an object with sub_id, and other members, which are ignored.
func readSubject(body []byte) (SubjectID, error) {
	var subject string
	err := strict.Members(string(body), func(name, value string) error {
		switch {
		case name != "sub_id":
			return nil
		case subject != "":
			return errors.New("sub_id occurs more than once")
		case value[0] != '{':
			return errors.New("sub_id is no object")
		}
		subject = value
		return nil
	})
	if err == nil && subject == "" {
		err = errors.New("sub_id is missing")
	}
	if err != nil {
		return SubjectID{}, err
	}
	members := map[string]string{}
	err = strict.Members(subject, func(name, value string) error {
		if !slices.Contains([]string{"format", "iss", "sub", "id", "email"}, name) {
			return errors.New("sub_id has a member that is not known")
		}
		if _, twice := members[name]; twice {
			return fmt.Errorf("%s occurs more than once", name)
		}
		var err error
		members[name], err = strict.ReadID(name, value)
		return err
	})
	if err != nil {
		return SubjectID{}, err
	}
	format := members["format"]
	wanted, known := subjectFormats[format]
	if !known {
		return SubjectID{}, fmt.Errorf("%w: it is none of iss_sub, opaque and email", ErrUnknownFormat)
	}
	for _, name := range wanted {
		if members[name] == "" {
			return SubjectID{}, fmt.Errorf("%s is missing", name)
		}
	}
	if len(members) != len(wanted)+1 {
		return SubjectID{}, errors.New("sub_id has a member of another format")
	}
	return SubjectID{
		Format: format, Issuer: members["iss"], Subject: members["sub"], ID: members["id"], Email: members["email"],
	}, nil
}
