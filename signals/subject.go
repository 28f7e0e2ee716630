package signals

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// SubjectID names a user in one of the formats of RFC 9493 §3.2: "iss_sub" with Issuer and Subject,
// "opaque" with ID, or "email" with Email. Fields of other formats are empty. Email is passed on
// unchanged; the [Resolver] decides about case and normalisation.
type SubjectID struct {
	Format          string
	Issuer, Subject string
	ID              string
	Email           string
}

// Resolver returns the user that a SubjectID names. It must check the format. The error matches
// [ErrUnknownUser] if there is no such user, [ErrStaysLoggedIn] if the user cannot be logged
// out, or [ErrUnknownFormat]. Any other error is answered with 503. A Resolver is called from
// several goroutines.
type Resolver func(ctx context.Context, id SubjectID) (revoke.User, error)

// The errors of a [Resolver].
var (
	// ErrUnknownUser says that there is no such user. It is answered with 404.
	ErrUnknownUser = errors.New("unknown user")

	// ErrStaysLoggedIn says that the user exists and cannot be logged out. It is answered with 422.
	ErrStaysLoggedIn = errors.New("the user cannot be logged out")

	// ErrUnknownFormat says that the app does not name users in this format. It is answered
	// with 400.
	ErrUnknownFormat = errors.New("unknown format of a subject identifier")
)

// subjectFormats lists the members that each format has besides "format": exactly these (RFC
// 9493 §3).
var subjectFormats = map[string][]string{
	"iss_sub": {"iss", "sub"},
	"opaque":  {"id"},
	"email":   {"email"},
}

// readSubject reads the body of a request: an object with sub_id. Other members are ignored.
func readSubject(body []byte) (SubjectID, error) {
	var subject string
	err := strictjwt.Members(string(body), func(name, value string) error {
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
	err = strictjwt.Members(subject, func(name, value string) error {
		if !slices.Contains([]string{"format", "iss", "sub", "id", "email"}, name) {
			return errors.New("sub_id has an unknown member")
		}
		if _, twice := members[name]; twice {
			return fmt.Errorf("%s occurs more than once", name)
		}
		var err error
		members[name], err = strictjwt.ReadID(name, value)
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
