"""WeChat Pay APIv3 from the vendor's side: direct merchant, Native, JSAPI, H5 and App."""
