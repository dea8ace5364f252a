"""UnionPay's online gateway (ACP, message version 5.1.0) from the vendor's side: front page, app, QR."""
