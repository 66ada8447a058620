enum class Mode : unsigned char { off, on, automatic };
