"""What comes back from mail: bounces and complaints, by pipe, mailbox or webhook (docs/mail-feedback.md)."""
