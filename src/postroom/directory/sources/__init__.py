"""Who knows whether a password is right, beside the directory: a file, LDAP, the operator's own function; OAuth."""
